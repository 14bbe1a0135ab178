"""What each container says of its own end. libavformat reads a cut file gladly, and a duration from
a header whose data never came; so the structure itself is looked at.
"""
