"""The Triptych gateway: gRPC services over encoder engines and collections."""
