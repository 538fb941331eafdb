"""How does packrank compare with other servers and libraries on a CPU?"""
