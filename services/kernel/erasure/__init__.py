"""What is to be forgotten, durable: every service erases its part, again and again until it is done."""

from services.kernel.erasure.jobs import Job, Part, do_parts, run_part

__all__ = ["Job", "Part", "do_parts", "run_part"]
