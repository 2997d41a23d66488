"""What a launch asks for, as people write it: docker's syntax, text in and values out."""
