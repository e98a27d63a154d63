"""What the service takes: start to ready, images a second by clients, memory over many images."""
