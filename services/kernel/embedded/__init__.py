"""PostgreSQL and Apache Kafka on this machine with nothing installed but Python: the real servers, as our children."""

from services.kernel.embedded.errors import EmbeddedError
from services.kernel.embedded.kafka import EmbeddedKafka
from services.kernel.embedded.postgres import EmbeddedPostgres

__all__ = ["EmbeddedError", "EmbeddedKafka", "EmbeddedPostgres"]
