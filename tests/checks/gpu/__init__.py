"""How near does the server come to the arithmetic of a GPU?"""
