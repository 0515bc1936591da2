"""The demonstration: `python -m api.demo` has a storm, and brings a job back from it, for real."""
