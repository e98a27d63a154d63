"""GTrans: the application. What a user touches: the command line and the HTTP service."""
