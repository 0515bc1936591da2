"""Commands on jobs: create, change, control and list them."""
