"""gRPC servicers: protobuf to domain values and back, nothing else."""
