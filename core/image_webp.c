/* image_webp.c - see image_webp.h. */
#include "core/image_webp.h"

#if VRAMBLE_WEBP

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

enum { RIFF_HEADER = 8, FLAGS_AT = 20 };

static enum webp_result result_of(VP8StatusCode status)
{
	return status == VP8_STATUS_OK                                                  ? WEBP_FINE
	       : status == VP8_STATUS_NOT_ENOUGH_DATA || status == VP8_STATUS_SUSPENDED ? WEBP_MORE
											: WEBP_DAMAGED;
}

enum webp_result webp_head_read(const uint8_t *data, size_t size, struct webp_head *out)
{
	WebPBitstreamFeatures features;
	enum webp_result result = result_of(WebPGetFeatures(data, size, &features));

	if (result != WEBP_FINE)
		return result;
	*out = (struct webp_head){
		.width = features.width,
		.height = features.height,
		.alpha = features.has_alpha,
		.animated = features.has_animation,
		.exif = size > FLAGS_AT && memcmp(data + 12, "VP8X", 4) == 0 && (data[FLAGS_AT] & EXIF_FLAG),
	};
	return WEBP_FINE;
}

const uint8_t *webp_exif(const uint8_t *data, size_t size, size_t *length)
{
	const WebPData whole = {data, size};
	WebPDemuxer *demuxer = WebPDemux(&whole);
	WebPChunkIterator chunk = {0};
	const uint8_t *block = NULL;

	if (demuxer && WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
		block = chunk.chunk.bytes;
		*length = chunk.chunk.size;
		WebPDemuxReleaseChunkIterator(&chunk);
	}
	WebPDemuxDelete(demuxer);
	return block;
}

static enum webp_result decode_into(const uint8_t *data, size_t size, uint8_t *rgb, size_t room, int stride)
{
	return WebPDecodeRGBInto(data, size, rgb, room, stride) ? WEBP_FINE : WEBP_DAMAGED;
}

/* Frames may be smaller than the canvas. */
static enum webp_result decode_first_frame(const uint8_t *data, size_t size, const struct webp_head *head, uint8_t *rgb)
{
	const WebPData whole = {data, size};
	const size_t stride = (size_t)head->width * 3, room = stride * (size_t)head->height;
	WebPDemuxer *demuxer = WebPDemux(&whole);
	WebPIterator frame = {0};
	enum webp_result result = WEBP_DAMAGED;

	memset(rgb, 0, room);
	if (demuxer && WebPDemuxGetFrame(demuxer, 1, &frame)) {
		size_t from = (size_t)frame.y_offset * stride + (size_t)frame.x_offset * 3;

		if (frame.complete && frame.x_offset >= 0 && frame.y_offset >= 0 && frame.width > 0 && frame.height > 0 &&
		    frame.width <= head->width - frame.x_offset && frame.height <= head->height - frame.y_offset)
			result = decode_into(frame.fragment.bytes, frame.fragment.size, rgb + from, room - from, (int)stride);
		WebPDemuxReleaseIterator(&frame);
	}
	WebPDemuxDelete(demuxer);
	return result;
}

enum webp_result webp_decode(const uint8_t *data, size_t size, const struct webp_head *head, uint8_t *rgb)
{
	uint32_t riff = (uint32_t)data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 | (uint32_t)data[7] << 24;

	if (riff > size - RIFF_HEADER)
		return WEBP_SHORT;
	if (head->animated)
		return decode_first_frame(data, size, head, rgb);
	return decode_into(data, size, rgb, (size_t)head->width * (size_t)head->height * 3, head->width * 3);
}

#else

/* Never called: image_format.c says before that WebP is not read. */

enum webp_result webp_head_read(const uint8_t *data, size_t size, struct webp_head *out)
{
	*out = (struct webp_head){0};
	return WEBP_DAMAGED;
}

const uint8_t *webp_exif(const uint8_t *data, size_t size, size_t *length)
{
	return NULL;
}

enum webp_result webp_decode(const uint8_t *data, size_t size, const struct webp_head *head, uint8_t *rgb)
{
	return WEBP_DAMAGED;
}

#endif
