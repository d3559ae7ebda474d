"""What the program asks for, judged by a real API server, with many settings."""
