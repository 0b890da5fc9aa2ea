import { decimal, share } from './percent';
import type { Measure } from './names';

const integer = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** A measured share as per cent with one decimal, without the sign: 219 of 240 is "91.3". */
export const percent = (m: { hits: number; n: number }): string => share(m.hits, m.n);

/** The ends of a share's interval: "87.0" and "94.2". */
export const interval = (m: Measure): [string, string] => [decimal(m.low * 100), decimal(m.high * 100)];

/** Shares of fewer prompts than this are marked. */
const FEW = 100;

/** The mark of a share that is of few prompts. */
export const few = (m: { n: number }): string => (m.n > 0 && m.n < FEW ? '†' : '');

/** A difference in points with its sign and its interval: "+4.2 (-1.0 to +9.4)". */
export function points(d: { value: number; low: number; high: number }): string {
  const signed = (part: number): string => {
    const text = decimal(Math.abs(part) * 100);
    return text === '0.0' ? text : `${part < 0 ? '-' : '+'}${text}`;
  };
  return `${signed(d.value)} (${signed(d.low)} to ${signed(d.high)})`;
}

export const count = (value: number): string => integer.format(value);

/** "91.0 % (87.2 to 93.8), 182 of 200": what a screen reader or a tooltip says. */
export const measureText = (m: Measure): string =>
  `${percent(m)} % (${interval(m).join(' to ')}), ${m.hits} of ${m.n}`;

/** Seconds as "4.2 s", "3 min 20 s" or "1 h 05 min". */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  if (value < 1024 * 1024) return `${(value / 1024).toFixed(1)} KiB`;
  if (value < 1024 ** 3) return `${(value / 1024 ** 2).toFixed(1)} MiB`;
  return `${(value / 1024 ** 3).toFixed(1)} GiB`;
}

/** Large counts (fuel) as "1.2 billion"; small ones as they are. */
export function large(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} billion`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} million`;
  return count(value);
}

/** Server times are RFC 3339 or Unix seconds; shown in the reader's own time zone. */
export function moment(value: string | number): string {
  const date = /^\d+$/.test(String(value)) ? new Date(Number(value) * 1000) : new Date(value);
  if (Number.isNaN(date.getTime())) return String(value);
  return date.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
}

export const short = (digest: string): string => digest.slice(0, 12);

/** A number of the experiment or of a parameter, without floating-point noise. */
export function value(v: unknown): string {
  if (v === null || v === undefined) return 'none';
  if (typeof v === 'number')
    return Number.isInteger(v) ? String(v) : String(Number(v.toPrecision(6)));
  if (typeof v === 'string') return v;
  if (typeof v === 'boolean') return v ? 'yes' : 'no';
  if (Array.isArray(v)) return v.map(value).join(', ');
  return JSON.stringify(v);
}

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;
