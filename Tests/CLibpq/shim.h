// PostgreSQL's client library, as applications use it.
#include <libpq-fe.h>
