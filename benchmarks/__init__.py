"""The figures this project promises, each by one command: ``python -m benchmarks NAME``."""
