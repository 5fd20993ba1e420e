"""SQLAlchemy 2 with three drivers: pools that reset what comes back, isolation levels, reflection, the ORM."""

import asyncio
import datetime
import warnings

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import create_async_engine

import cases
from cases import LOOK, caught

DIALECTS = ("psycopg", "psycopg2")


def engine_of(client, dialect, settings=True, **more):
    engine = sa.create_engine(f"postgresql+{dialect}://", pool_size=2, **more)
    if settings:
        @sa.event.listens_for(engine, "connect")
        def configure(connection, _):
            with connection.cursor() as cursor:
                for statement in client.settings:
                    cursor.execute(statement)
            connection.commit()
    return engine


def each_dialect(case):
    """The case with each driver: what it saw, under the driver's name."""
    def run(client):
        saw = {}
        for dialect in DIALECTS:
            engine = engine_of(client, dialect)
            saw[dialect] = []
            try:
                case(client, engine, saw[dialect])
            finally:
                engine.dispose()
        return saw

    run.__name__ = case.__name__
    return run


def look(connection):
    return tuple(connection.exec_driver_sql(LOOK).one())


@each_dialect
def resets_on_return(client, engine, saw):
    for turn in range(6):
        with engine.connect() as connection:
            saw.append(look(connection))
            connection.exec_driver_sql("set lock_timeout to 4711")
            connection.exec_driver_sql("set timezone to 'Asia/Tokyo'")
            saw.append(look(connection))
            if turn % 2:
                connection.commit()
    with caught(saw):
        with engine.begin() as connection:
            connection.exec_driver_sql("set timezone to 'UTC'")
            connection.exec_driver_sql("select 1 / 0")
    with engine.connect() as connection:
        saw.append(look(connection))


@each_dialect
def isolation_levels(client, engine, saw):
    levels = ["AUTOCOMMIT", "SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "READ UNCOMMITTED"]
    shown = ("select current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
             " current_setting('transaction_deferrable')")
    for turn in range(5):
        level = levels[(client.number + turn) % 5]
        with engine.connect().execution_options(
                isolation_level=level, postgresql_readonly=turn % 2 == 0,
                postgresql_deferrable=turn % 2 == 0) as connection:
            saw.append([level, connection.get_isolation_level()])
            saw.append(tuple(connection.exec_driver_sql(shown).one()))
            with caught(saw):
                connection.exec_driver_sql("create temp table written (a int) on commit drop")
                connection.exec_driver_sql("create table written_for_good (a int)")
                connection.exec_driver_sql("drop table written_for_good")
        with engine.connect() as connection:
            saw.append([connection.get_isolation_level(), tuple(connection.exec_driver_sql(shown).one())])


@each_dialect
def reflection(client, engine, saw):
    metadata = sa.MetaData(schema=client.schema)
    parent = sa.Table("parents", metadata, sa.Column("id", sa.Integer, primary_key=True),
                      sa.Column("kind", sa.Enum("a", "b", name="kind", metadata=metadata)))
    sa.Table("children", metadata, sa.Column("id", sa.BigInteger, primary_key=True),
             sa.Column("parent_id", sa.ForeignKey(parent.c.id), index=True),
             sa.Column("data", postgresql.JSONB), sa.Column("at", sa.DateTime(timezone=True)),
             sa.UniqueConstraint("parent_id", "at", name="once"))
    for _ in range(2):
        metadata.create_all(engine)
        inspector = sa.inspect(engine)
        saw.append(sorted(inspector.get_table_names(schema=client.schema)))
        saw.append([[column["name"], str(column["type"])] for column in
                    inspector.get_columns("children", schema=client.schema)])
        saw.append(inspector.get_indexes("children", schema=client.schema))
        saw.append(inspector.get_foreign_keys("children", schema=client.schema))
        saw.append(inspector.get_unique_constraints("children", schema=client.schema))
        saw.append(inspector.get_enums(schema=client.schema))
        reflected = sa.MetaData()
        reflected.reflect(engine, schema=client.schema)
        saw.append(sorted(str(table) for table in reflected.tables))
        metadata.drop_all(engine)
        saw.append(inspector.default_schema_name)


@each_dialect
def temporary_tables(client, engine, saw):
    metadata = sa.MetaData()
    table = sa.Table("marks", metadata, sa.Column("mark", sa.Integer), prefixes=["TEMPORARY"])
    with engine.connect() as connection:
        metadata.create_all(connection)
        connection.commit()
        for turn in range(4):
            connection.execute(table.insert(), [{"mark": client.number + turn} for _ in range(20)])
            saw.append(connection.scalar(sa.select(sa.func.sum(table.c.mark))))
            connection.commit() if turn % 2 else connection.rollback()
        saw.append(sa.inspect(connection).get_temp_table_names())
        metadata.drop_all(connection)
        connection.commit()
        with caught(saw):
            connection.execute(sa.select(table))


@each_dialect
def orm_sessions(client, engine, saw):
    class Base(orm.DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = "authors"
        id = sa.Column(sa.Integer, primary_key=True)
        name = sa.Column(sa.String, unique=True)
        joined = sa.Column(sa.DateTime(timezone=True))
        books = orm.relationship("Book", back_populates="author", order_by="Book.id")

    class Book(Base):
        __tablename__ = "books"
        id = sa.Column(sa.Integer, primary_key=True)
        title = sa.Column(sa.String)
        author_id = sa.Column(sa.ForeignKey("authors.id"))
        author = orm.relationship(Author, back_populates="books")

    Base.metadata.create_all(engine)
    sessionmaker = orm.sessionmaker(engine)
    with sessionmaker() as session:
        for number in range(10):
            session.add(Author(name=f"author {number}",
                               joined=datetime.datetime(2024, 7, 1, number, tzinfo=datetime.UTC),
                               books=[Book(title=f"book {number} {book}") for book in range(30)]))
        session.commit()
    with sessionmaker() as session:
        author = session.scalars(sa.select(Author).order_by(Author.id)).first()
        saw.append([author.name, [book.title for book in author.books[:3]], author.joined.isoformat()])
        session.commit()
        saw.append(len(author.books))
        with caught(saw), session.begin_nested():
            session.add(Author(name="author 1"))
            session.flush()
        author.name = "renamed"
        session.commit()
        saw.append(session.scalar(sa.select(sa.func.count()).select_from(Book).join(Author)
                                  .where(Author.name == "renamed")))
        rows = session.execute(sa.select(Book.id).execution_options(yield_per=37))
        saw.append(sum(row.id for row in rows))
        session.execute(postgresql.insert(Author).values(name="renamed")
                        .on_conflict_do_update(index_elements=["name"], set_={"name": "again"}))
        session.rollback()
        saw.append(session.scalar(sa.select(Author.name).with_for_update().order_by(Author.id).limit(1)))
    Base.metadata.drop_all(engine)


@each_dialect
def server_side_cursors(client, engine, saw):
    query = sa.text("select g * :n from generate_series(1, 500) g")
    with engine.connect().execution_options(stream_results=True, max_row_buffer=30) as connection:
        for _ in range(3):
            result = connection.execute(query, {"n": client.number})
            saw.append([row[0] for row in result.fetchmany(5)])
            saw.append(sum(row[0] for row in result))
            result.close()
            connection.commit()
        saw.append(look(connection))


@each_dialect
def two_phases(client, engine, saw):
    with engine.connect() as connection:
        connection.exec_driver_sql("create table phased_sa (a int)")
        connection.commit()
        for commits in (True, False):
            transaction = connection.begin_twophase(f"client {client.number} {engine.dialect.driver} {commits}")
            connection.exec_driver_sql("insert into phased_sa values (1)")
            transaction.prepare()
            transaction.commit() if commits else transaction.rollback()
        saw.append(connection.scalar(sa.text("select count(*) from phased_sa")))
        connection.exec_driver_sql("drop table phased_sa")
        connection.commit()


@each_dialect
def pings_and_invalidation(client, engine, saw):
    """A connection that the server ended is noticed, and replaced."""
    pinging = sa.create_engine(engine.url, pool_pre_ping=True, pool_size=1, pool_reset_on_return="commit")
    for turn in range(4):
        with pinging.connect() as connection:
            saw.append(connection.scalar(sa.text("select :n + 1"), {"n": turn}))
            connection.exec_driver_sql(f"set work_mem to '{9000 + client.number}kB'")
    with pinging.connect() as connection:
        saw.append(look(connection))
    pinging.dispose()


def with_asyncpg(client):
    """The same through asyncpg, which prepares every statement."""
    async def work():
        saw = []
        engine = create_async_engine("postgresql+asyncpg://", pool_size=2)

        @sa.event.listens_for(engine.sync_engine, "connect")
        def configure(connection, _):
            cursor = connection.cursor()
            for statement in client.settings:
                cursor.execute(statement)
            connection.commit()

        metadata = sa.MetaData()
        table = sa.Table("things", metadata, sa.Column("id", sa.Integer, primary_key=True),
                         sa.Column("name", sa.String), sa.Column("data", postgresql.JSONB),
                         sa.Column("kind", sa.Enum("a", "b", name="kind_of_thing")))
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        for turn in range(5):
            async with engine.connect() as connection:
                saw.append(tuple((await connection.exec_driver_sql(LOOK)).one()))
                await connection.execute(table.insert().returning(table.c.id), [
                    {"name": f"{client.number} {number}", "data": {"turn": turn}, "kind": "a"} for number in range(30)])
                saw.append(await connection.scalar(sa.select(sa.func.count()).select_from(table)))
                with caught(saw):
                    await connection.execute(table.insert(), {"id": 1, "name": "twice"})
                if turn % 2:
                    await connection.rollback()
                else:
                    await connection.rollback()
                    await connection.execute(table.insert(), {"id": 1 + turn, "name": "kept"})
                    await connection.commit()
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="SERIALIZABLE")
            saw.append((await connection.exec_driver_sql("show transaction_isolation")).scalar())
            query = sa.text("select g * :n from generate_series(1, 300) g")
            result = await connection.stream(query, {"n": client.number})
            saw.append(sum([row[0] async for row in result]))
            saw.append(await connection.run_sync(lambda sync: sorted(sa.inspect(sync).get_table_names(client.schema))))
        async with engine.begin() as connection:
            await connection.run_sync(metadata.drop_all)
        await engine.dispose()
        return saw

    return asyncio.run(work())


warnings.simplefilter("ignore")
cases.run([
    resets_on_return, isolation_levels, reflection, temporary_tables, orm_sessions, server_side_cursors,
    two_phases, pings_and_invalidation, with_asyncpg,
])
