"""Adapter to prices: those of the package genai-prices, below those of the operator."""
