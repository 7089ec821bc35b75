"""What Orbit costs, measured: `python -m benchmarks [--only peers,queue]`. Each module measures one thing by its `main()`."""
