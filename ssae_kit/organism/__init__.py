"""The organism: makes the bundled Llama from the world's documents, and measures what it learned."""
