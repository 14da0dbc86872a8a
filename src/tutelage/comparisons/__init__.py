"""Comparisons: grids of runs, what they share done once, and the tables that they come to.

settings   a comparison's file        runs      which runs there are, and how each is played
compare    the whole of it            shared    what runs take over from each other
begun      may it go on               results   what a run came to, from its folder
analyses   tables of each kind        tables    tables as values and files
"""
