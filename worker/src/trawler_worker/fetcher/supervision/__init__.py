"""The process of each job: forked from one that has everything loaded, watched, bounded and cleaned
up after.
"""
