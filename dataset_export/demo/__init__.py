"""The demonstration: a small lake of real and generated data with a dated history."""
