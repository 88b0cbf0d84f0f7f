/* jpeg_check.h - keeps JPEG files away from the decoder that it cannot bear. Any thread; no state. */
#ifndef CORE_JPEG_CHECK_H
#define CORE_JPEG_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False if a Huffman table in the file claims more than 256 symbols: stb_image up to 2.27 writes behind its table then. Walks the markers as the decoder
 * does; anything else that is wrong is left for the decoder to say. */
bool jpeg_tables_fit(const uint8_t *data, size_t size);

#endif
