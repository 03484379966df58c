module github.com/connectcore/connectcore

go 1.26.0
