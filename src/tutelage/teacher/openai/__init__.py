"""A teacher behind an OpenAI-compatible endpoint, asked request by request."""
