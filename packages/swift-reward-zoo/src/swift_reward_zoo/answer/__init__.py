"""Rewards on the answer: is it right?"""
