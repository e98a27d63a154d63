"""Many runs in one table, beside numbers that others published."""
