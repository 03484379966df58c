"""gRPC's health service, `grpc.health.v1.Health`, which load balancers and Kubernetes' probes ask.

Any application made of generated services gets it by one more application beside them:

    health = Health("greet.v1.GreetService")
    app = ConnectASGIRouter(GreetServiceASGIApplication(Greeter()), HealthASGIApplication(health))

and `health.set(service, status)`, from any thread, says how a service is.
"""

from __future__ import annotations

from ._standard.health import Health, HealthASGIApplication, HealthWSGIApplication, ServingStatus

__all__ = ["Health", "HealthASGIApplication", "HealthWSGIApplication", "ServingStatus"]
