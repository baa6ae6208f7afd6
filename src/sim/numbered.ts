/**
 * The place of each key of a table, in its order. The result keeps the literal's shape: an object built key by key would
 * be a hash table, and these are read at every step of an interrupt.
 */
export function numbered<T extends object>(table: T): Readonly<Record<keyof T, number>> {
  const places = { ...table } as Record<string, unknown>;
  Object.keys(places).forEach((key, i) => (places[key] = i));
  return places as Record<keyof T & string, number> as Record<keyof T, number>;
}
