"""Flood forecasting: river gauges, a rainfall-runoff generator, and stacked LSTM networks."""
