/* jpeg_check.c - see jpeg_check.h. Marker syntax: ITU-T T.81, annex B. */
#include "core/jpeg_check.h"

enum { DHT = 0xc4, RST0 = 0xd0, SOI = 0xd8, EOI = 0xd9, COUNTS = 16, SYMBOLS_MAX = 256 };

/* A DHT segment's content at data[at..end): tables of a class byte, 16 counts, and as many symbols as the counts add up to. The last one is read whole even
 * where it runs out of the segment; behind the end of the file come zeros. */
static bool segment_fits(const uint8_t *data, size_t size, size_t at, size_t end)
{
	while (at < end) {
		size_t symbols = 0;

		for (size_t i = at + 1; i <= at + COUNTS && i < size; i++)
			symbols += data[i];
		if (symbols > SYMBOLS_MAX)
			return false;
		at += 1 + COUNTS + symbols;
	}
	return true;
}

/* The byte behind the next 0xff that is not a fill byte; 0 at the end of the file. *at is left behind it. */
static uint8_t next_marker(const uint8_t *data, size_t size, size_t *at)
{
	while (*at < size && data[*at] != 0xff)
		++*at;
	while (*at < size && data[*at] == 0xff)
		++*at;
	return *at < size ? data[(*at)++] : 0;
}

bool jpeg_tables_fit(const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		uint8_t marker = next_marker(data, size, &at);
		size_t length;

		/* Stuffed zeros and restarts inside a scan; what follows them is searched on. */
		if (marker == 0 || (marker >= RST0 && marker <= SOI))
			continue;
		if (marker == EOI || at + 2 > size)
			return true;
		length = (size_t)data[at] << 8 | data[at + 1];
		if (marker == DHT && !segment_fits(data, size, at + 2, at + length))
			return false;
		at += length < 2 ? 2 : length;
	}
	return true;
}
