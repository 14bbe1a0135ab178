"""Admits, orders and dispatches MediaJobs to worker pods. Never downloads, never talks to
Discord.
"""
