CREATE TABLE prices (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  feed text NOT NULL,
  value numeric NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
