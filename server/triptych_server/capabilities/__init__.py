"""What the product does, free of gRPC and protobuf."""
