"""What if the policy had been another: each recorded life walked again."""
