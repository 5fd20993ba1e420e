"""Django: migrations, atomic blocks, server-side cursors, time zones, persistent connections."""

import datetime
import os

import django
from django.conf import settings

import cases
from cases import COUNT, LOOK, Client, caught


def database(number, **more):
    options = {"options": f"-c search_path=client_{number},public -c statement_timeout={25000 + number}",
               "application_name": f"django {number}"}
    options |= more.pop("OPTIONS", {})
    return {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
            "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"], "PASSWORD": os.environ["PGPASSWORD"],
            "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True,
            "TIME_ZONE": ["Asia/Tokyo", "Europe/Berlin", "UTC"][number % 3], "OPTIONS": options, **more}


settings.configure(
    DATABASES={"default": database(0)}
    | {f"client_{number}": database(number) for number in range(COUNT)}
    | {f"binding_{number}": database(number, OPTIONS={"server_side_binding": True}) for number in range(COUNT)}
    | {f"strict_{number}": database(number, OPTIONS={"isolation_level": 3, "assume_role": f"client_{number}"})
       for number in range(COUNT)}
    | {f"auto_{number}": database(number, ATOMIC_REQUESTS=True, CONN_MAX_AGE=0) for number in range(COUNT)},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, close_old_connections, connections, models, transaction  # noqa: E402
from django.db.models.functions import Now, TruncDay  # noqa: E402


def look(alias):
    with connections[alias].cursor() as cursor:
        cursor.execute(LOOK)
        return cursor.fetchone()


def migrations(client):
    """All migrations of three applications, forwards; those of one back."""
    saw = []
    alias = client.schema
    call_command("migrate", database=alias, verbosity=0, interactive=False)
    saw.append(sorted(connections[alias].introspection.table_names()))
    call_command("migrate", "sessions", "zero", database=alias, verbosity=0)
    saw.append(sorted(connections[alias].introspection.table_names()))
    call_command("migrate", database=alias, verbosity=0)
    with connections[alias].cursor() as cursor:
        cursor.execute("select app, name from django_migrations order by id")
        saw.append(cursor.fetchall())
    saw.append(look(alias))
    return saw


def models_and_queries(client):
    saw = []
    alias = client.schema
    for turn in range(6):
        User.objects.db_manager(alias).create_user(f"user {turn} {client.number}", password="x")
    users = User.objects.using(alias)
    group = Group.objects.using(alias).create(name=f"group {client.number}")
    group.user_set.add(*users.all()[:3])
    saw.append(sorted(group.user_set.values_list("username", flat=True)))
    saw.append(users.filter(date_joined__lte=Now()).count())
    saw.append(users.annotate(day=TruncDay("date_joined")).values("day").distinct().count())
    saw.append(users.update(first_name=models.F("username")))
    saw.append(list(users.order_by("id").values_list("first_name", flat=True)))
    saw.append(len(users.bulk_create([User(username=f"bulk {turn}") for turn in range(50)])))
    user, made = users.get_or_create(username="bulk 3")
    saw.append([user.username, made])
    close_old_connections()
    saw.append(look(alias))
    return saw


def atomic_blocks(client):
    saw = []
    alias = client.schema
    groups = Group.objects.using(alias)
    with transaction.atomic(using=alias):
        groups.create(name="outer")
        with caught(saw, IntegrityError):
            with transaction.atomic(using=alias):
                groups.create(name="outer")
        groups.create(name="after")
        transaction.on_commit(lambda: saw.append("committed"), using=alias)
    saw.append(sorted(groups.values_list("name", flat=True)))
    with caught(saw, RuntimeError):
        with transaction.atomic(using=alias):
            groups.all().delete()
            raise RuntimeError("back")
    saw.append(groups.count())
    with transaction.atomic(using=alias):
        saw.append(groups.select_for_update().get(name="after").name)
        with transaction.atomic(using=alias, durable=False):
            groups.filter(name="after").update(name="later")
    saw.append(groups.filter(name="later").exists())
    transaction.set_autocommit(False, using=alias)
    groups.create(name="by hand")
    transaction.rollback(using=alias)
    transaction.set_autocommit(True, using=alias)
    saw.append(groups.filter(name="by hand").exists())
    return saw


def server_side_cursors(client):
    """iterator() is a cursor WITH HOLD outside transactions."""
    saw = []
    alias = client.schema
    groups = Group.objects.using(alias)
    groups.bulk_create([Group(name=f"many {client.number} {number}") for number in range(300)])
    query = groups.filter(name__startswith="many").order_by("id")
    saw.append(sum(len(group.name) for group in query.iterator(chunk_size=40)))
    first = query.iterator(chunk_size=10)
    saw.append([next(first).name for _ in range(12)])
    saw.append(groups.count())
    saw.append(look(alias))
    saw.append(len(list(first)))
    with transaction.atomic(using=alias):
        saw.append(sum(len(group.name) for group in query.iterator(chunk_size=40)))
    half = query.iterator(chunk_size=10)
    next(half)
    half.close()
    saw.append(query.delete()[0])
    return saw


def time_zones(client):
    saw = []
    alias = client.schema
    moment = datetime.datetime(2024, 7, 1, 23, 30, tzinfo=datetime.UTC)
    store = SessionStore()
    saw.append(type(store).__name__)
    sessions = Session.objects.using(alias)
    sessions.create(session_key=f"key {client.number}", session_data="", expire_date=moment)
    for _ in range(4):
        session = sessions.get(session_key=f"key {client.number}")
        saw.append(session.expire_date.isoformat())
        saw.append(sessions.filter(expire_date__date="2024-07-01").count())
        with connections[alias].cursor() as cursor:
            cursor.execute("select current_setting('timezone'), %s::timestamptz::text", [moment])
            saw.append(cursor.fetchone())
    return saw


def bound_on_the_server(client):
    """server_side_binding: the driver's extended protocol, with statements prepared on the server."""
    saw = []
    alias = f"binding_{client.number}"
    for turn in range(8):
        saw.append(Group.objects.using(alias).filter(name__contains=str(client.number), id__gte=0).count())
        with connections[alias].cursor() as cursor:
            cursor.execute("select %s::int * 2, current_setting('search_path')", [turn])
            saw.append(cursor.fetchone())
    saw.append(look(alias))
    return saw


def isolation_and_role(client):
    saw = []
    alias = f"strict_{client.number}"
    for _ in range(3):
        saw.append(look(alias))
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            cursor.execute("show transaction_isolation")
            saw.append(cursor.fetchone())
    connections[alias].close()
    saw.append(look(alias))
    return saw


def new_connections(client):
    """CONN_MAX_AGE=0: a login for each request."""
    saw = []
    alias = f"auto_{client.number}"
    for _ in range(5):
        saw.append(look(alias))
        with connections[alias].cursor() as cursor:
            cursor.execute("set work_mem = '7777kB'")
            cursor.execute("set timezone = 'UTC'")
        saw.append(look(alias))
        connections[alias].close_if_unusable_or_obsolete()
        saw.append(connections[alias].connection is None)
    return saw


def settings_of_a_tenant(client):
    """What multi-tenant packages do: SET on each request, on persistent connections."""
    saw = []
    alias = client.schema
    for turn in range(6):
        with connections[alias].cursor() as cursor:
            other = (client.number + turn) % COUNT
            for statement in Client(other).settings:
                cursor.execute(statement)
        saw.append(look(alias))
        close_old_connections()
        with connections[alias].cursor() as cursor:
            cursor.execute("reset all")
            cursor.execute("reset role")
        saw.append(look(alias))
    return saw


cases.run([
    migrations, models_and_queries, atomic_blocks, server_side_cursors, time_zones, bound_on_the_server,
    isolation_and_role, new_connections, settings_of_a_tenant,
])
