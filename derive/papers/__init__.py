"""The papers: printed forms and claims, stated once and judged by the engines."""
