"""Reinforcement learning (QTRL): policies for Gymnasium environments with discrete actions."""
