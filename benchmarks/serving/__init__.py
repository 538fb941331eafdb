"""How fast is the server, what does it add to the bare ranker, and what happens under too much load?"""
