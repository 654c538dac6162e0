"""The live server: what a browser or a program asks for while the pipeline runs."""
