# ActiveRecord: migrations under an advisory lock, the schema, its statement pool with DEALLOCATE.

require "json"
require "logger"
require "pg"
require "active_record"
require "timeout"

COUNT = Integer(ENV["CONFORMANCE_CLIENTS"])
SETTINGS = JSON.parse(ENV["CONFORMANCE_SETTINGS"])
LOOK = ENV["CONFORMANCE_LOOK"]
OUTPUT = Mutex.new
MIGRATING = Mutex.new
PATIENCE = 12

# Of one thread: each client has a class, and so a pool of connections, of its own.
def base_of(number)
  name = "Client#{number}Base"
  return Object.const_get(name) if Object.const_defined?(name)
  base = Class.new(ActiveRecord::Base) { self.abstract_class = true }
  Object.const_set(name, base)
end

def connect(number, **more)
  base = base_of(number)
  base.establish_connection(
    { adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"],
      password: ENV["PGPASSWORD"], database: ENV["PGDATABASE"], pool: 2, checkout_timeout: 20,
      schema_search_path: "client_#{number}, public",
      variables: { statement_timeout: 15_000 + number } }.merge(more)
  )
  base.connection
end

def disconnect(number)
  base_of(number).remove_connection
end

def rows(connection, query, binds = [])
  connection.exec_query(query, "SQL", binds, prepare: !binds.empty?).rows
end

def caught(saw)
  yield
  saw << "no error"
rescue ActiveRecord::ActiveRecordError, PG::Error => error
  saw << "#{error.class}: #{error.message.lines.first.strip}"
end

def bind(value)
  ActiveRecord::Relation::QueryAttribute.new("x", value, ActiveRecord::Type::Integer.new)
end

def settings(number)
  saw = []
  connection = connect(number)
  4.times { saw << rows(connection, LOOK) }
  SETTINGS[number].each { |statement| connection.execute(statement) }
  8.times { saw << rows(connection, LOOK) }
  connection.transaction do
    connection.execute("set timezone to 'Asia/Tokyo'")
    saw << rows(connection, LOOK)
    raise ActiveRecord::Rollback
  end
  4.times { saw << rows(connection, LOOK) }
  connection.schema_search_path = "public"
  saw << [connection.schema_search_path, rows(connection, LOOK), connection.current_schema]
  # Back to the start: the driver says DISCARD ALL and configures again.
  connection.reset!
  3.times { saw << rows(connection, LOOK) }
  saw
end

def statement_pool(number)
  saw = []
  connection = connect(number, statement_limit: 3)
  4.times do
    8.times { |text| saw << rows(connection, "select #{text} * 100 + $1::int", [bind(number)]) }
  end
  connection.transaction do
    8.times { |text| saw << rows(connection, "select #{text} * 7 + $1::int", [bind(number)]) }
  end
  connection.clear_cache!
  3.times { |text| saw << rows(connection, "select #{text} * 7 + $1::int", [bind(number)]) }
  saw
end

# What ActiveRecord prepares, where nothing is evicted.
def prepared_statements(number)
  saw = []
  connection = connect(number)
  4.times do
    8.times { |text| saw << rows(connection, "select #{text} * 100 + $1::int", [bind(number)]) }
    caught(saw) { rows(connection, "select 1 / $1::int", [bind(0)]) }
  end
  saw
end

def schema_statements(number)
  saw = []
  connection = connect(number)
  saw << connection.get_advisory_lock(900 + number)
  connection.transaction do
    connection.create_table(:authors) do |table|
      table.string :name, null: false, index: true
      table.jsonb :data, default: {}
      table.timestamps
    end
    connection.create_table(:books) do |table|
      table.references :author, foreign_key: true
      table.string :title
      table.datetime :printed
    end
    connection.add_column(:authors, :rating, :decimal, precision: 5, scale: 2)
  end
  saw << connection.release_advisory_lock(900 + number)
  saw << connection.tables.sort
  saw << connection.columns("authors").map { |column| [column.name, column.sql_type, column.null] }
  saw << connection.indexes("authors").map(&:name)
  saw << connection.foreign_keys("books").map(&:to_table)
  connection.rename_column(:authors, :name, :called)
  connection.add_index(:books, :title, unique: true, algorithm: :concurrently)
  saw << connection.columns("authors").map(&:name)
  connection.drop_table(:books)
  connection.drop_table(:authors)
  saw << connection.tables.sort
  saw
end

# The migrator takes a lock of the session's on a connection, and migrates.
def migrator(number)
  saw = []
  MIGRATING.synchronize do
    ActiveRecord::Base.establish_connection(
      adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"],
      password: ENV["PGPASSWORD"], database: ENV["PGDATABASE"], pool: 3,
      schema_search_path: "client_#{number}, public"
    )
    connection = ActiveRecord::Base.connection
    ActiveRecord::SchemaMigration.reset_column_information
    ActiveRecord::InternalMetadata.reset_column_information
    step = Class.new(ActiveRecord::Migration[6.1]) do
      def self.name
        "MakeThings"
      end

      def change
        create_table(:things) { |table| table.string :name }
      end
    end
    step.define_method(:version) { 20_240_101 }
    step.define_method(:name) { "MakeThings" }
    step.define_method(:filename) { nil }
    step.define_method(:disable_ddl_transaction) { false }
    [[:up, nil], [:down, 0]].each do |direction, target|
      steps = [step.new("MakeThings", 20_240_101)]
      ActiveRecord::Migrator.new(direction, steps, ActiveRecord::SchemaMigration, target).migrate
      saw << (connection.tables - %w[numbers]).sort
      saw << rows(connection, "select version from schema_migrations")
    end
    saw << rows(connection, "select count(*) from pg_locks where locktype = 'advisory'")
    connection.drop_table(:schema_migrations)
    connection.drop_table(:ar_internal_metadata)
  ensure
    ActiveRecord::Base.remove_connection
  end
  saw
end

def models(number)
  saw = []
  connection = connect(number)
  connection.create_table(:people, force: true) do |table|
    table.string :name
    table.integer :age
    table.datetime :born
    table.index :name, unique: true
  end
  person = Class.new(base_of(number)) do
    self.table_name = "people"
    def self.name
      "Person"
    end
  end
  20.times { |turn| person.create!(name: "person #{turn}", age: number + turn, born: Time.utc(2024, 1, 1 + turn)) }
  saw << person.where("age > ?", number + 10).order(:name).pluck(:name, :age)
  5.times { |turn| saw << person.find_by(name: "person #{turn}").age }
  saw << person.where(age: number + 3).first.born.utc.iso8601
  caught(saw) { person.create!(name: "person 1") }
  person.transaction do
    person.create!(name: "inside")
    person.transaction(requires_new: true) do
      person.create!(name: "undone")
      raise ActiveRecord::Rollback
    end
    caught(saw) { person.transaction(requires_new: true) { person.create!(name: "inside") } }
  end
  saw << person.count
  saw << person.where(name: "inside").exists?
  person.find(person.minimum(:id)).with_lock { saw << "locked" }
  ids = []
  person.find_each(batch_size: 7) { |one| ids << one.age }
  saw << ids
  saw << person.insert_all([{ name: "bulk 1", age: 1 }, { name: "bulk 2", age: 2 }]).length
  saw << person.update_all("age = age + 1")
  saw << person.lock.order(:id).first.name
  person.transaction(isolation: :serializable) { saw << rows(connection, "show transaction_isolation") }
  connection.drop_table(:people)
  saw
end

# A column more, and statements that were prepared without it: the driver prepares again until it succeeds.
def result_type_changes(number)
  saw = []
  connection = connect(number)
  connection.create_table(:pets, force: true) { |table| table.string :name }
  pet = Class.new(base_of(number)) { self.table_name = "pets" }
  pet.insert({ name: "pet #{number}" })
  3.times { saw << pet.find_by(name: "pet #{number}").name }
  connection.add_column(:pets, :age, :integer)
  3.times { saw << pet.find_by(name: "pet #{number}").name }
  pet.reset_column_information
  saw << pet.find_by(name: "pet #{number}").attributes.keys
  caught(saw) do
    pet.transaction do
      connection.add_column(:pets, :color, :string)
      saw << pet.find_by(name: "pet #{number}").name
    end
  end
  connection.drop_table(:pets)
  saw
end

def notifications(number)
  saw = []
  connection = connect(number)
  raw = connection.raw_connection
  raw.exec("listen \"ruby #{number}\"")
  3.times { |turn| connection.execute("notify \"ruby #{number}\", '#{turn}'") }
  3.times { raw.wait_for_notify(10) { |channel, _, payload| saw << [channel, payload] } }
  raw.exec("unlisten *")
  saw
end

def the_driver_itself(number)
  saw = []
  connection = PG.connect
  SETTINGS[number].each { |statement| connection.exec(statement) }
  connection.prepare("same", "select $1::int * #{number}")
  6.times { |turn| saw << connection.exec_prepared("same", [turn]).values }
  saw << connection.describe_prepared("same").nparams
  begin
    connection.prepare("same", "select 1")
  rescue PG::Error => error
    saw << error.class.name
  end
  connection.type_map_for_results = PG::BasicTypeMapForResults.new(connection)
  saw << connection.exec("select 1::int8, 1.5::float8, true, null, array[1, 2]").values
  connection.copy_data("copy (select g from generate_series(1, 5) g) to stdout") do
    while (line = connection.get_copy_data)
      saw << line
    end
  end
  connection.transaction { |inside| saw << inside.exec(LOOK).values }
  connection.send_query("select 1; select 2")
  while (result = connection.get_result)
    saw << result.values
  end
  saw << connection.parameter_status("TimeZone")
  connection.reset
  saw << connection.exec(LOOK).values
  connection.close
  saw
end

def temporary_tables(number)
  saw = []
  connection = connect(number)
  connection.create_table(:marks, temporary: true, id: false) { |table| table.integer :mark }
  5.times do |turn|
    rows(connection, "insert into marks values ($1)", [bind(number + turn)])
    saw << rows(connection, "select sum(mark) from marks")
  end
  connection.drop_table(:marks)
  caught(saw) { rows(connection, "select sum(mark) from marks") }
  saw
end

CASES = %i[
  settings statement_pool prepared_statements schema_statements migrator models result_type_changes notifications
  the_driver_itself temporary_tables
].freeze

def work(number, name)
  result =
    begin
      { saw: Timeout.timeout(PATIENCE) { send(name, number) } }
    rescue StandardError => error
      places = (error.backtrace || []).grep(/drive_active_record/)
      { error: "#{error.class}: #{error.message.lines.first&.strip}", trace: places.join("\n") }
    end
  disconnect(number)
  OUTPUT.synchronize { puts JSON.generate({ client: number, case: name, **result }) }
end

ActiveRecord::Migration.verbose = false
COUNT.times { |number| base_of(number) }
$stdout.sync = true
CASES.grep(Regexp.new(ENV["CONFORMANCE_CASES"])).each do |name|
  Array.new(COUNT) { |number| Thread.new { work(number, name) } }.each(&:join)
end
