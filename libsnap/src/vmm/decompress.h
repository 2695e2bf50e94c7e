// SPDX-License-Identifier: Apache-2.0
// Streams that a compressor's program wrote, decompressed by its library.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "snap/import.h"
#include "snap/io.h"
#include "vmm/forward.h"

namespace snap {

enum class Compression { kNone, kGzip, kBzip2, kXz, kLzop, kZstd };
/// By the first bytes; 16 suffice.
Compression compression_of(std::span<const std::byte> first_bytes);
const char* compression_name(Compression compression);

/// The most memory that xz data may want; its strongest preset wants 65 MiB.
inline constexpr std::uint64_t kMostXzBytes = 128u << 20;
/// The largest window of zstd data, as a power of two: what the program zstd takes unasked.
inline constexpr int kMostZstdWindowLog = 27;
/// lzop writes blocks of 256 KiB.
inline constexpr std::uint32_t kMostLzopBlock = 1u << 20;

/// What is in `in` from where it stands to its end: one compressed stream, or several one behind another, as the programs take them (kXz: .xz or
/// .lzma). Zeros may follow; anything else is kCorrupt. Errors name the offset in `in`, which must outlive the source.
std::unique_ptr<ByteSource> decompressed(ForwardStream& in, Compression compression);

/// Hands `use` the stream in `source`, decompressed where it is compressed as a whole.
Result<Imported> with_unwrapped(ByteSource& source, Writer& writer, const ImportOptions& options,
                                const std::function<Result<Imported>(ForwardStream&)>& use);

}  // namespace snap
