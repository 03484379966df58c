"""What the plugin makes of the `.proto` files in `golden`, kept there to be read: `python golden.py` writes it anew."""

from __future__ import annotations

import tempfile
from pathlib import Path

from protoc import Protoc

GOLDEN = Path(__file__).parent / "golden"
SOURCES = {str(path.relative_to(GOLDEN)): path.read_text(encoding="utf-8") for path in sorted(GOLDEN.rglob("*.proto"))}

NAME = "name=shop.v1.OrderService.GetUrl=watch_url"
# By where it is kept: the options, and the files whose code is.
KEPT = {
    "google": (NAME, ["shop/v1/orders"]),
    "protobuf-py": (f"messages=protobuf-py,imports=relative,{NAME}", ["shop/v1/orders"]),
    "async": (f"io=async,{NAME}", ["root", "shop/v2/orders"]),
    "sync": (f"messages=protobuf-py,io=sync,no_fmt_off,map_imports=**:gen,{NAME}", ["root", "shop/v1/catalog"]),
}


def made(kept: str, folder: Path) -> dict[Path, str]:
    """What the plugin makes now, by the file in which it is kept."""
    options, files = KEPT[kept]
    protoc = Protoc(folder, SOURCES)
    done = protoc.run(options)
    assert (done.returncode, done.stderr) == (0, "")
    return {GOLDEN / kept / f"{file}_connectcore.py.txt": protoc.text(f"{file}_connectcore.py") for file in files}


def main() -> None:
    """Write everything."""
    for kept in KEPT:
        with tempfile.TemporaryDirectory() as folder:
            for path, text in made(kept, Path(folder)).items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
