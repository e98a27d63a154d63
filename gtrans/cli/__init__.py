"""The gtrans command: thin, one function a verb."""
