/* unigram_spm.cpp - the only file that sees the sentencepiece library; see unigram.h. No exception leaves it. */
#include "models/unigram_spm.h"

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <sentencepiece_processor.h>

namespace sentencepiece
{
namespace logging
{
void SetMinLogLevel(int level); /* exported, but declared in no installed header */
}
} // namespace sentencepiece

namespace
{

const sentencepiece::SentencePieceProcessor *processor_of(const void *processor)
{
	return static_cast<const sentencepiece::SentencePieceProcessor *>(processor);
}

void *load(const char *bytes, size_t size, char *message, size_t room)
{
	try {
		auto *made = new sentencepiece::SentencePieceProcessor();
		sentencepiece::logging::SetMinLogLevel(3); /* nothing below the screen prints */
		const auto status = made->LoadFromSerializedProto(std::string_view(bytes, size));
		if (status.ok())
			return made;
		std::snprintf(message, room, "%s", status.ToString().c_str());
		delete made;
	} catch (const std::exception &e) {
		std::snprintf(message, room, "%s", e.what());
	}
	return nullptr;
}

void release(void *processor)
{
	delete static_cast<sentencepiece::SentencePieceProcessor *>(processor);
}

int size_of(const void *processor)
{
	return processor_of(processor)->GetPieceSize();
}

int32_t find(const void *processor, const char *piece)
{
	return processor_of(processor)->PieceToId(piece);
}

int32_t unknown(const void *processor)
{
	return processor_of(processor)->unk_id();
}

int encode(const void *processor, const char *text, size_t length, void (*put)(void *ctx, int32_t id), void *ctx, char *message, size_t room)
{
	try {
		std::vector<int> ids;
		const auto status = processor_of(processor)->Encode(std::string_view(text, length), &ids);
		if (status.ok()) {
			for (int id : ids)
				put(ctx, id);
			return 0;
		}
		std::snprintf(message, room, "%s", status.ToString().c_str());
	} catch (const std::exception &e) {
		std::snprintf(message, room, "%s", e.what());
	}
	return -1;
}

} // namespace

const struct unigram_library vramble_unigram = {
	UNIGRAM_LIBRARY_ABI, load, release, size_of, find, unknown, encode,
};
