// SPDX-License-Identifier: Apache-2.0
// Old VM states that are damaged, cut, hostile or of a kind that is not known: each is refused with its cause, and no thread and
// no wrong byte is left behind.
#include "support/legacy_import.h"

namespace snap::test {
namespace {

Buffer stream_with_ram(const Buffer& body, std::uint32_t version = 2) {
  return container(2, {timer(), record("ram", version, body), devices(0)});
}

/// A RAM body of size field and zlib stream as given.
Buffer ram_body(std::uint32_t size, const Buffer& zlib) {
  Buffer body;
  put_be(body, size, 4);
  put(body, cblocks(zlib));
  return body;
}

TEST(QemuLegacyRefusals, WhatIsNoVmState) {
  expect_refused(import_state({}), Code::kTruncated, "ends early");
  expect_refused(import_state(Buffer(100)), Code::kCorrupt, "not a VM state");
  expect_refused(import_state(container(4, {timer()})), Code::kUnsupported, "version of the VM state container");
  expect_refused(import_state(container(2, {timer(), devices(0)})), Code::kNotFound, "no RAM section");
  expect_refused(import_state(container(3, {Buffer(1)})), Code::kNotFound, "no RAM section");
  const Buffer ram = static_ram_body(sample_ram(kMiB));
  expect_refused(import_state(container(2, {record("ram", 2, ram), record("ram", 2, ram)})), Code::kUnsupported,
                 "two RAM sections");
}

TEST(QemuLegacyRefusals, NewerStreams) {
  for (const std::uint32_t version : {4u, 9u}) {
    expect_refused(import_state(container(3, {section(1, 2, "ram", version, Buffer(100))})), Code::kUnsupported, "0.13 or newer");
  }
  Buffer configuration(1, std::byte{7});
  put_be(configuration, 2, 4);
  put_text(configuration, "pc");
  expect_refused(import_state(container(3, {configuration})), Code::kUnsupported, "configuration section");
  expect_refused(import_state(container(2, {record("ram", 4, Buffer(100))})), Code::kUnsupported, "RAM section version");
  expect_refused(import_state(container(3, {section(1, 2, "ram", 2, Buffer(100))})), Code::kUnsupported, "RAM section version");
  expect_refused(import_state(container(3, {section(4, 2, "cpu", 2, Buffer(100))})), Code::kUnsupported, "unknown length");
  expect_refused(import_state(container(3, {part(2, 2, Buffer(100))})), Code::kCorrupt, "unknown section type");
  Buffer device_data;
  put_be(device_data, 1, 8);
  expect_refused(import_state(container(3, {section(1, 1, "block", 1, device_data)})), Code::kUnsupported, "block migration");
}

TEST(QemuLegacyRefusals, ReferencesToTheDisk) {
  Buffer records = ram_records(sample_ram(kMiB), {});
  Buffer reference(1, std::byte{1});
  put_be(reference, 0, 9);
  records.insert(records.begin() + 1025 * 700, reference.begin(), reference.end());
  expect_refused(import_state(stream_with_ram(ram_body(kMiB, zlib_stream(records, {})))), Code::kUnsupported, "record type 1");
  Buffer at_once = reference;
  put(at_once, ram_records(sample_ram(kMiB), {}));
  expect_refused(import_state(stream_with_ram(ram_body(kMiB, zlib_stream(at_once, {})))), Code::kUnsupported, "record type 1");
  at_once[0] = std::byte{2};
  expect_refused(import_state(stream_with_ram(ram_body(kMiB, zlib_stream(at_once, {})))), Code::kCorrupt, "unknown record type");
  // Long after the block size is known.
  Buffer late = ram_records(sample_ram(4 * kMiB), {});
  late[1025 * 4000] = std::byte{1};
  expect_refused(import_state(stream_with_ram(ram_body(4 * kMiB, zlib_stream(late, {})))), Code::kUnsupported, "record type 1");
}

TEST(QemuLegacyRefusals, DamagedPieces) {
  const Buffer body = static_ram_body(sample_ram(kMiB));
  const std::size_t second = 4 + 4 + 4096;
  for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{4097}, std::uint64_t{0xffff}}) {
    Buffer damaged = body;
    patch_be(damaged, second + 2, length, 2);
    const Imported imported = import_state(stream_with_ram(damaged));
    expect_refused(imported, Code::kCorrupt, "illegal length");
    EXPECT_EQ(imported.error.detail, length);
    const std::size_t ram_at = 16 + timer().size() + record("ram", 2, {}).size();
    EXPECT_EQ(imported.error.file_offset, ram_at + second);
  }
  Buffer damaged = body;
  patch_be(damaged, second, 0xfabf, 2);
  expect_refused(import_state(stream_with_ram(damaged)), Code::kCorrupt, "no compressed block here");
  damaged = body;
  damaged[4 + 4 + 2] = std::byte{0x07};  // no such block type
  expect_refused(import_state(stream_with_ram(damaged)), Code::kCorrupt, "zlib stream is damaged");
  damaged = body;
  damaged.back() ^= std::byte{1};
  expect_refused(import_state(stream_with_ram(damaged)), Code::kCorrupt, "checksum");
}

TEST(QemuLegacyRefusals, RamThatEndsEarly) {
  const Buffer ram = sample_ram(kMiB);
  Buffer body = static_ram_body(ram);
  body.resize(body.size() / 2);
  for (const unsigned threads : {0u, 1u}) {
    ImportOptions options;
    options.threads = threads;
    expect_refused(import_state(stream_with_ram(body), options), Code::kTruncated, "RAM section ends early");
  }
  // The zlib stream is whole, but the RAM is not.
  expect_refused(import_state(stream_with_ram(ram_body(kMiB, zlib_stream(ram_records(Buffer(kMiB / 2), {}), {})))),
                 Code::kCorrupt, "does not have the RAM's size");
  Buffer records = ram_records(ram, {});
  records.pop_back();
  expect_refused(import_state(stream_with_ram(ram_body(kMiB, zlib_stream(records, {})))), Code::kCorrupt,
                 "does not have the RAM's size");
  expect_refused(import_state(stream_with_ram(Buffer(3))), Code::kTruncated, "RAM section ends early");
}

TEST(QemuLegacyRefusals, LessRamThanTheMachineHas) {
  // Both sizes are the same but for 4 GiB.
  const std::uint64_t real = 16 * kMiB + 12 * kMiB;
  Buffer body;
  put_be(body, real, 4);
  put(body, cblocks(zlib_stream(ram_records(sample_ram(real), {}), {})));
  const Buffer stream = container(2, {timer(), record("ram", 2, body), devices(4112 * kMiB)});
  expect_refused(import_state(stream), Code::kCorrupt, "smaller than the machine's CMOS says");
}

TEST(QemuLegacyRefusals, CutsAndChangesAnywhere) {
  const Buffer ram = sample_ram(kMiB);
  const Buffer static_stream = old_vmstate(ram, 0);
  const Buffer paged = container(1, {timer(), record("ram", 1, version_1_body(ram, false)), devices(0)});
  std::mt19937 random(4711);
  for (const Buffer& whole : {static_stream, paged}) {
    for (int round = 0; round < 150; ++round) {
      const std::size_t cut = random() % whole.size();
      const Imported imported = import_state(Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut)));
      // Container 1 may end between two records behind the RAM.
      if (imported.ok()) {
        EXPECT_TRUE(imported.snapshot.memory() == ram) << cut;
      }
    }
  }
  for (int round = 0; round < 200; ++round) {
    Buffer damaged = static_stream;
    damaged[random() % damaged.size()] ^= static_cast<std::byte>(1u << random() % 8);
    const Imported imported = import_state(damaged);
    if (imported.ok() && imported.snapshot.find("phys_ram") != nullptr) {
      EXPECT_TRUE(imported.snapshot.memory() == ram);  // the device part was hit
    }
  }
}

TEST(QemuLegacyRefusals, PagesThatDoNotFit) {
  const Buffer ram = sample_ram(kMiB);
  Buffer body = version_1_body(ram, false);
  body[4] = std::byte{2};
  expect_refused(import_state(stream_with_ram(body, 1)), Code::kCorrupt, "unknown record type");
  body = version_1_body(ram, false);
  patch_be(body, 0, kMiB + 1, 4);
  expect_refused(import_state(stream_with_ram(body, 1)), Code::kCorrupt, "not one of whole pages");
  patch_be(body, 0, 2 * kMiB, 4);
  expect_refused(import_state(stream_with_ram(body, 1)), Code::kTruncated, "RAM section ends early");

  Buffer live(1, std::byte{1});
  expect_refused(import_state(stream_with_ram(live, 3)), Code::kTruncated, "RAM section ends early");
  put_be(live, 0x123, 4);
  expect_refused(import_state(stream_with_ram(live, 3)), Code::kCorrupt, "not aligned");
  Buffer none(1, std::byte{1});
  put_be(none, 1, 4);
  expect_refused(import_state(stream_with_ram(none, 3)), Code::kCorrupt, "has no pages");
  Buffer sparse(1, std::byte{1});
  put_be(sparse, 0xfffff000, 4);
  sparse.resize(sparse.size() + 4096);
  put_be(sparse, 1, 4);
  expect_refused(import_state(stream_with_ram(sparse, 3)), Code::kTruncated, "pages are missing");
  expect_refused(import_state(stream_with_ram(Buffer(1, std::byte{2}), 3)), Code::kCorrupt, "unknown form");
}

Buffer live_words(std::initializer_list<std::uint64_t> words) {
  Buffer body;
  for (const std::uint64_t word : words) put_be(body, word, 8);
  return container(3, {section(1, 1, "ram", 3, body), Buffer(64, std::byte{0xff})});
}

TEST(QemuLegacyRefusals, LiveWordsThatDoNotFit) {
  expect_refused(import_state(live_words({0x10000 | 4, 0x20000 | 8})), Code::kCorrupt, "past the RAM's end");
  expect_refused(import_state(live_words({0x20000 | 8})), Code::kCorrupt, "past the RAM's end");
  expect_refused(import_state(live_words({(std::uint64_t{1} << 52) | 4})), Code::kCorrupt, "more than the VM state can hold");
  expect_refused(import_state(live_words({0x10000 | 4, 0x20000 | 4})), Code::kCorrupt, "two sizes");
  expect_refused(import_state(live_words({0x10000 | 4, 1})), Code::kUnsupported, "unknown word");
  expect_refused(import_state(live_words({0x10000 | 4, 0x10})), Code::kCorrupt, "not complete when another begins");
  expect_refused(import_state(live_words({0x10000 | 4})), Code::kUnsupported, "unknown word");
  Buffer size;
  put_be(size, 0x10000 | 4, 8);
  put_be(size, 0x10, 8);
  Buffer eos;
  put_be(eos, 0x10, 8);
  const Buffer start = section(1, 1, "ram", 3, size);
  expect_refused(import_state(container(3, {start, part(3, 1, eos)})), Code::kTruncated, "pages are missing");
  expect_refused(import_state(container(3, {start, part(2, 9, eos)})), Code::kUnsupported, "unknown length");
  expect_refused(import_state(container(3, {start, section(1, 2, "slirp", 1, eos)})), Code::kUnsupported, "unknown length");
  expect_refused(import_state(container(3, {start, section(1, 2, "block", 1, eos)})), Code::kUnsupported, "block migration");
  expect_refused(import_state(container(3, {section(1, 1, "ram", 3, eos), part(3, 1, eos)})), Code::kCorrupt,
                 "does not say the RAM's size");
}

TEST(QemuLegacyRefusals, RecordsThatDoNotFitTheirContainer) {
  Buffer stream = old_vmstate(sample_ram(kMiB), 0);
  Buffer short_of_one = stream;
  short_of_one.pop_back();
  expect_refused(import_state(short_of_one), Code::kTruncated, "VM state ends early");
  Buffer long_record = stream;
  patch_be(long_record, 16 + 6 + 8, 0xffffffff, 4);  // timer's length
  expect_refused(import_state(long_record), Code::kTruncated, "runs past the end");
}

TEST(QemuLegacyRefusals, ErrorsOfTheWriterEndTheImport) {
  const Buffer stream = old_vmstate(sample_ram(2 * kMiB), 0);
  for (unsigned call = 1; call < 40; ++call) {
    MemorySnapshot snapshot;
    MemoryWriter writer(snapshot);
    writer.fail_at(call);
    const auto source = memory_source(stream);
    const auto imported = import_vmstate(*source, writer, {});
    if (imported) break;
    EXPECT_EQ(imported.error().code, Code::kIo);
  }
  std::atomic<bool> cancel = true;
  ImportOptions options;
  options.cancel = &cancel;
  expect_refused(import_state(stream, options), Code::kCancelled, "cancelled");
}

/// A snapshot with a recipe of these operations and 64 KiB of memory.
MemorySnapshot with_recipe(const Buffer& operations, bool magic = true) {
  MemorySnapshot snapshot;
  MemoryWriter writer(snapshot);
  RegionInfo ram;
  ram.name = "phys_ram";
  ram.size = 65536;
  EXPECT_TRUE(writer.begin_region(ram, PageOrder::kAscending) && writer.skip(65536) && writer.end_region());
  Buffer recipe;
  put_text(recipe, magic ? "VMSTRCP1" : "VMSTRCP9");
  put(recipe, operations);
  EXPECT_TRUE(write_state(writer, "qemu.vmstate.recipe", recipe));
  return snapshot;
}
Buffer numbers(std::initializer_list<int> values) {
  Buffer bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(QemuLegacyRefusals, HostileRecipes) {
  const auto cause = [](const Buffer& operations) { return std::string(export_state(with_recipe(operations)).error.what); };
  EXPECT_EQ(export_state(MemorySnapshot{}).error.code, Code::kNotFound);
  EXPECT_NE(std::string(export_state(with_recipe({}, false)).error.what).find("not a recipe"), std::string::npos);
  EXPECT_NE(cause({}).find("damaged"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 77})).find("damaged"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 1, 200, 1})).find("damaged"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 2, 1, 'x'})).find("not there"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 3, 9, 0, 1})).find("damaged"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 3, 1, 0, 17})).find("past the end of memory"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 4, 3, 1, 0, 1})).find("damaged"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 5, 1})).find("damaged"), std::string::npos);
  // Block bytes, hole offset and bytes, memory bytes, level, window bits, memory level, piece bytes, bytes behind.
  EXPECT_NE(cause(numbers({9, 5, 0, 0, 0, 64, 1, 15, 9, 100, 0})).find("block sizes"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 5, 10, 0, 0, 64, 1, 15, 9, 100, 0})).find("block sizes"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 5, 8, 99, 0, 64, 1, 15, 9, 100, 0})).find("past the end of memory"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 5, 8, 0, 0, 64, 1, 77, 9, 100, 0})).find("zlib parameters"), std::string::npos);
  EXPECT_NE(cause(numbers({9, 4, 2, 7, 0, 255, 255, 255, 255, 255, 1, 0})).find("past the end of memory"), std::string::npos);
  // All of memory again and again, whatever size the recipe says the stream has.
  Buffer again = numbers({255, 255, 255, 255, 255, 255, 255, 255, 255, 1});
  for (int i = 0; i < 40; ++i) {
    const Buffer all = numbers({3, 1, 0, 16});
    again.insert(again.end(), all.begin(), all.end());
  }
  EXPECT_NE(cause(again).find("gives more"), std::string::npos);
}

}  // namespace
}  // namespace snap::test
