// SPDX-License-Identifier: Apache-2.0
#include "guest_image.h"

#include <fcntl.h>
#include <lz4.h>
#include <lz4hc.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "format/wire.h"
#include "snap/import.h"
#include "snap/restore.h"

namespace bench {

namespace wire = snap::wire;

File::File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {
  if (fd_ < 0) die("cannot open " + path);
}
File::~File() { ::close(fd_); }

ScratchFile::ScratchFile(const std::string& directory, const std::string& name)
    : path_(directory + "/vmsnap-bench-" + std::to_string(::getpid()) + "-" + name) {}
ScratchFile::~ScratchFile() { ::unlink(path_.c_str()); }

FreshMemory::FreshMemory(std::size_t bytes, bool huge_pages) : mapped_(bytes + (2u << 20)), bytes_(bytes) {
  mapping_ = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) die("no memory for a guest");
  const auto at = reinterpret_cast<std::uintptr_t>(mapping_);
  data_ = static_cast<std::byte*>(mapping_) + ((2u << 20) - at % (2u << 20)) % (2u << 20);
  ::madvise(mapping_, mapped_, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}
FreshMemory::~FreshMemory() { ::munmap(mapping_, mapped_); }

std::string coding_name(const Coding& coding) {
  std::string name = snap::codec_name(coding.codec);
  if (coding.level != snap::WriterOptions::kDefaultLevel) name += "-" + std::to_string(coding.level);
  return name;
}

snap::WriterOptions writer_options(const Coding& coding, unsigned threads) {
  snap::WriterOptions options;
  options.codec = coding.codec;
  options.level = coding.level;
  options.block_bytes = coding.block_bytes;
  options.threads = threads;
  return options;
}

namespace {

template <typename Import>
void create_with(const std::string& to, const snap::WriterOptions& options, Import import) {
  ::unlink(to.c_str());
  const File file(to, O_CREAT | O_RDWR | O_TRUNC);
  const auto sink = snap::stream_sink(file.fd());
  auto writer = must(snap::Writer::create(*sink, options), "a writer");
  import(*writer);
  must(writer->finish(), "finishing a snapshot");
}

}  // namespace

void create_snapshot(const std::string& from, const std::string& to, const snap::WriterOptions& options) {
  create_with(to, options, [&](snap::Writer& writer) {
    const File raw(from, O_RDONLY);
    const auto source = snap::file_source(raw.fd());
    must(snap::import_raw(*source, "ram", writer, {}), "importing memory");
  });
}

void create_snapshot_from_stream(int fd, const std::string& to, const snap::WriterOptions& options) {
  create_with(to, options, [&](snap::Writer& writer) {
    const auto source = snap::stream_source(fd);
    must(snap::import_raw_stream(*source, "ram", writer, {}), "importing memory");
  });
}

namespace {

void take_block(const wire::RecordHead& head, const std::byte* body, std::uint64_t block_pages, Payloads& all) {
  const std::uint32_t pages = head.aux;
  Payload payload;
  payload.block = head.number;
  payload.codec = head.codec == wire::kZstdOverParent ? snap::Codec::kZstd : static_cast<snap::Codec>(head.codec);
  std::size_t before = (pages + 1) / 2;
  bool first = true;
  for (std::uint32_t page = 0; page < pages; ++page) {
    const unsigned byte = std::to_integer<unsigned>(body[page / 2]);
    const unsigned kind = page % 2 == 0 ? byte & 15 : byte >> 4;
    if (kind == wire::kZero || kind == wire::kSame) continue;
    const std::uint64_t number = head.number * block_pages + page;
    payload.pages.push_back(number);
    if (kind == wire::kCopy) {
      before += sizeof(wire::le64);
      ++all.copies;
      continue;
    }
    if (first) payload.target = number * snap::kPageBytes;
    first = false;
    payload.raw += snap::kPageBytes;
    payload.stored_pages.push_back(number);
  }
  payload.block_pages = pages;
  payload.over_parent = head.codec == wire::kZstdOverParent;
  if (payload.over_parent) {
    wire::le16 count;
    std::memcpy(&count, body + before, sizeof count);
    before += sizeof count;
    for (unsigned i = 0; i < count; ++i, before += sizeof(wire::Le40)) {
      wire::Le40 number;
      std::memcpy(&number, body + before, sizeof number);
      payload.named.push_back(number.value());
    }
  }
  payload.stored = head.body_bytes - before;
  payload.at = all.bytes.size();
  all.bytes.insert(all.bytes.end(), body + before, body + before + payload.stored);
  all.blocks.push_back(std::move(payload));
}

}  // namespace

Payloads load_payloads(const std::string& path) {
  const std::uint64_t size = file_bytes(path);
  const File file(path, O_RDONLY);
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (mapped == MAP_FAILED) die("cannot map " + path);
  const auto* const bytes = static_cast<const std::byte*>(mapped);
  wire::Header header;
  std::memcpy(&header, bytes, sizeof header);
  Payloads all;
  all.bytes.reserve(size);
  std::uint64_t at = header.header_bytes;
  while (true) {
    wire::RecordHead head;
    std::memcpy(&head, bytes + at, sizeof head);
    if (std::memcmp(head.magic, wire::kRecordMagic, sizeof head.magic) != 0) break;  // the trailer
    if (head.type == wire::kBlock) take_block(head, bytes + at + sizeof head, 1u << (header.block_log2 - 12), all);
    at += sizeof head + head.body_bytes;
  }
  ::munmap(mapped, size);
  return all;
}

Sample restore_snapshot(const Setup& setup, const std::string& path, bool huge_pages) {
  FreshMemory memory(setup.guest_bytes, huge_pages);
  return timed([&] {
    const File file(path, O_RDONLY);
    const auto source = snap::file_source(file.fd());
    auto reader = must(snap::Reader::open(*source), "opening a snapshot");
    snap::RestoreOptions options;
    options.threads = setup.threads;
    must(snap::restore_to_memory(*reader, 0, memory.span(), options), "restoring");
  });
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  const File file(path, O_CREAT | O_RDWR | O_TRUNC);
  must(snap::stream_sink(file.fd())->write(bytes), "writing a file");
}

BareDecoder::BareDecoder() : zstd_(ZSTD_createDCtx()) {}
BareDecoder::~BareDecoder() { ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(zstd_)); }

void BareDecoder::decode(const Payload& payload, const std::byte* stored, std::byte* to, std::span<const std::byte> dictionary) {
  std::size_t done = payload.raw;
  if (payload.codec == snap::Codec::kLz4) {
    done = static_cast<std::size_t>(LZ4_decompress_safe(reinterpret_cast<const char*>(stored), reinterpret_cast<char*>(to),
                                                        static_cast<int>(payload.stored), static_cast<int>(payload.raw)));
  } else if (payload.codec == snap::Codec::kZstd) {
    if (!dictionary.empty()) ZSTD_DCtx_refPrefix(static_cast<ZSTD_DCtx*>(zstd_), dictionary.data(), dictionary.size());
    done = ZSTD_decompressDCtx(static_cast<ZSTD_DCtx*>(zstd_), to, payload.raw, stored, payload.stored);
  } else if (payload.raw != 0) {
    std::memcpy(to, stored, payload.raw);
  }
  if (done != payload.raw) die("a payload does not decode");
}

BareEncoder::BareEncoder(const Coding& coding) : coding_(coding) {
  if (coding.codec == snap::Codec::kZstd) {
    zstd_ = ZSTD_createCCtx();
    out_.resize(ZSTD_compressBound(coding.block_bytes));
  } else {
    lz4_state_.resize(static_cast<std::size_t>(std::max(LZ4_sizeofState(), LZ4_sizeofStateHC())));
    out_.resize(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(coding.block_bytes))));
  }
}
BareEncoder::~BareEncoder() { ZSTD_freeCCtx(static_cast<ZSTD_CCtx*>(zstd_)); }

std::size_t BareEncoder::encode(std::span<const std::byte> raw) {
  if (coding_.codec == snap::Codec::kZstd) {
    return ZSTD_compressCCtx(static_cast<ZSTD_CCtx*>(zstd_), out_.data(), out_.size(), raw.data(), raw.size(), coding_.level);
  }
  const auto* from = reinterpret_cast<const char*>(raw.data());
  auto* to = reinterpret_cast<char*>(out_.data());
  const int bytes = static_cast<int>(raw.size());
  const int room = static_cast<int>(out_.size());
  const int stored = coding_.level <= 1 ? LZ4_compress_fast_extState(lz4_state_.data(), from, to, bytes, room, 1)
                                        : LZ4_compress_HC_extStateHC(lz4_state_.data(), from, to, bytes, room, coding_.level);
  return static_cast<std::size_t>(stored);
}

}  // namespace bench
