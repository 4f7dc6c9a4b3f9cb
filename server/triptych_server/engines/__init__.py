"""Who computes and who stores."""
