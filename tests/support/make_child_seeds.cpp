// SPDX-License-Identifier: Apache-2.0
// Makes the seeds that are children of fuzz/fixed_parent.h, for container, stream, check and block: make_child_seeds tests/fuzz/corpus
#include <cstdio>
#include <fstream>
#include <string>

#include "format/wire.h"
#include "fuzz/fixed_parent.h"

using namespace snap;
using namespace snap::test;

namespace {

std::string corpora;

struct Seed {
  WriterOptions options;
  Bytes ram = small_parent_ram();
  bool unknown = false;
  bool dev = true;
};

void put(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void put_blocks(const std::string& name, const Bytes& file) {
  wire::Header header;
  std::memcpy(&header, file.data(), sizeof header);
  int number = 0;
  for (std::size_t at = header.header_bytes; at + sizeof(wire::Trailer) < file.size();) {
    wire::RecordHead head;
    std::memcpy(&head, file.data() + at, sizeof head);
    if (head.type == wire::kBlock) {
      Bytes out(16);
      out[1] = static_cast<std::byte>(head.codec);
      out[3] = static_cast<std::byte>(static_cast<std::uint32_t>(head.aux));
      out[7] = std::byte{1};
      const std::uint64_t block = head.number;
      std::memcpy(out.data() + 8, &block, sizeof block);
      out.insert(out.end(), file.begin() + static_cast<std::ptrdiff_t>(at + sizeof head), file.begin() + static_cast<std::ptrdiff_t>(at + sizeof head + head.body_bytes));
      put(corpora + "/block/child-" + name + "-" + std::to_string(number++), out);
    }
    at += sizeof head + head.body_bytes;
  }
}

void write(const char* name, Seed seed, bool blocks) {
  auto pages = ParentPages::index(fixed_parent(), {});
  Bytes file;
  auto sink = memory_sink(file);
  seed.options.block_bytes = 1u << 14;
  seed.options.parent = &fixed_parent();
  seed.options.parent_pages = pages->get();
  auto writer = Writer::create(*sink, seed.options);
  bool sound = writer.has_value();
  sound = sound && (*writer)->begin_region({RegionKind::kMemory, "ram", seed.unknown ? kUnknownSize : seed.ram.size(), 12, {}}).has_value();
  sound = sound && (*writer)->write(seed.ram).has_value() && (*writer)->end_region().has_value();
  if (seed.dev) sound = sound && write_state(**writer, "dev", small_parent_dev()).has_value();
  sound = sound && (*writer)->finish().has_value();
  demand(sound, name);
  for (const char* corpus : {"container", "stream", "check"}) put(corpora + "/" + corpus + "/child-" + name, file);
  if (blocks) put_blocks(name, file);
}

// Zero, same, a copy of the parent's, copies in the file, raw; and a XOR or a page that is like another of the parent's.
Bytes changed(bool moved) {
  Bytes ram = small_parent_ram();
  std::fill_n(page_of(ram, 0).begin(), kPage, std::byte{0});
  copy_page_of(ram, 13, 3);
  if (moved) {
    copy_page_of(ram, 5, 8);
    Random(1).fill(page_of(ram, 8).subspan(1000, 20));
  } else {
    for (std::size_t i = 0; i < kPage; ++i) page_of(ram, 8)[i] = static_cast<std::byte>("seeds of children "[i % 18]);
    page_of(ram, 11)[7] ^= std::byte{1};
  }
  copy_page_of(ram, 8, 9);
  copy_page_of(ram, 8, 12);
  return ram;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  corpora = arguments[1];
  Bytes one = small_parent_ram();
  std::fill_n(page_of(one, 10).begin(), kPage, std::byte{'r'});
  write("store", {.options = {.codec = Codec::kStore}, .ram = one}, true);
  write("lz4", {.options = {.codec = Codec::kLz4}, .ram = changed(false)}, true);
  write("zstd", {.options = {.codec = Codec::kZstd}, .ram = changed(false)}, true);
  write("named", {.options = {.codec = Codec::kZstd}, .ram = changed(true)}, true);
  Bytes near = small_parent_ram();
  for (const std::size_t page : {4u, 5u, 6u}) Random(page).fill(page_of(near, page).subspan(100, 30));
  write("in-place", {.options = {.codec = Codec::kZstd, .delta = DeltaForm::kDictionary}, .ram = near}, true);
  write("unchanged", {}, false);
  Bytes zeros = small_parent_ram();
  std::fill(zeros.begin(), zeros.end(), std::byte{0});
  write("all-zero", {.ram = zeros}, true);
  Bytes grown = small_parent_ram();
  grown.resize(300 << 14);
  std::fill_n(page_of(grown, 1150).begin(), 9, std::byte{'g'});
  write("grown", {.ram = grown}, false);
  Bytes shrunk = small_parent_ram();
  shrunk.resize(5 * kPage + 17);
  write("shrunk", {.ram = shrunk, .dev = false}, false);
  write("unknown-shrunk", {.ram = shrunk, .unknown = true}, true);
  write("unknown-grown", {.ram = grown, .unknown = true}, false);
  return 0;
}
