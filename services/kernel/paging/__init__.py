"""Page a person: durable, deduplicated, to whoever is on duty, until somebody acknowledges it."""

from services.kernel.paging.pages import Page, acknowledge, all_clear, open_pages, open_texts, page

__all__ = ["Page", "acknowledge", "all_clear", "open_pages", "open_texts", "page"]
