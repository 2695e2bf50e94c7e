// SPDX-License-Identifier: Apache-2.0
// Makes an image as QEMU 0.9.1 left it after "savevm": a qcow2 file of 4 KiB clusters with one internal snapshot, whose VM state
// holds the given memory. Written from the format's description, without the library.
//
// usage: make_old_image [--stream] RAM OUT
//   RAM       raw guest memory, a multiple of 64 KiB, 17 MiB to 3.5 GiB
//   --stream  OUT is the bare zlib stream, what a bench of inflate alone reads
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Bytes = std::vector<char>;

constexpr std::size_t kBlockBytes = 1024;
constexpr std::size_t kPieceBytes = 4096;
constexpr std::size_t kClusterBytes = 4096;
constexpr std::size_t kClustersPerTable = kClusterBytes / 8;
constexpr std::uint64_t kDiskBytes = 64u << 20;
constexpr std::uint64_t kVideoBytes = 8u << 20;
constexpr std::uint64_t kBiosBytes = 4u << 20;
constexpr std::uint64_t kMiB = 1u << 20;

void put_be(Bytes& to, std::uint64_t value, unsigned bytes) {
  while (bytes-- != 0) to.push_back(bytes < 8 ? static_cast<char>(value >> (8 * bytes)) : '\0');
}
void put_text(Bytes& to, std::string_view text) { to.insert(to.end(), text.begin(), text.end()); }
void put(Bytes& to, const Bytes& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

Bytes load(const char* path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  Bytes bytes(file ? static_cast<std::size_t>(file.tellg()) : 0);
  file.seekg(0);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size())))
    throw std::runtime_error("cannot read the memory file");
  if (bytes.size() % 65536 != 0 || bytes.size() < 17 * kMiB || bytes.size() > 3584 * kMiB) {
    throw std::runtime_error("the memory must be a multiple of 64 KiB, 17 MiB to 3.5 GiB");
  }
  return bytes;
}

/// zlib level 1 as the emulator called it: a type byte and a block at a time.
class Deflater {
 public:
  explicit Deflater(Bytes& out) : out_(out) { deflateInit2(&zlib_, 1, Z_DEFLATED, 15, 9, Z_DEFAULT_STRATEGY); }
  ~Deflater() { deflateEnd(&zlib_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  void feed(const char* bytes, std::size_t count, int flush = Z_NO_FLUSH) {
    zlib_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes));
    zlib_.avail_in = static_cast<uInt>(count);
    do {
      Bytef buffer[65536];
      zlib_.next_out = buffer;
      zlib_.avail_out = sizeof buffer;
      deflate(&zlib_, flush);
      out_.insert(out_.end(), buffer, buffer + (sizeof buffer - zlib_.avail_out));
    } while (zlib_.avail_out == 0);
  }

 private:
  Bytes& out_;
  z_stream zlib_{};
};

/// phys_ram: the guest's memory, then zeros for video memory and BIOS.
Bytes zlib_stream(const Bytes& ram) {
  Bytes stream;
  Deflater deflater(stream);
  const char type = 0;
  const Bytes zeros(kBlockBytes);
  for (std::size_t at = 0; at < ram.size(); at += kBlockBytes) {
    deflater.feed(&type, 1);
    deflater.feed(ram.data() + at, kBlockBytes);
  }
  for (std::uint64_t at = 0; at < kVideoBytes + kBiosBytes; at += kBlockBytes) {
    deflater.feed(&type, 1);
    deflater.feed(zeros.data(), kBlockBytes);
  }
  deflater.feed(nullptr, 0, Z_FINISH);
  return stream;
}

void put_record(Bytes& to, std::string_view id, std::uint32_t instance, std::uint32_t version, const Bytes& body) {
  put_be(to, id.size(), 1);
  put_text(to, id);
  put_be(to, instance, 4);
  put_be(to, version, 4);
  put_be(to, body.size(), 4);
  put(to, body);
}

Bytes clock_section(std::size_t ram_bytes) {
  Bytes body(161);
  const std::size_t above_1m = std::min<std::size_t>((ram_bytes - kMiB) / 1024, 65535);
  const std::size_t above_16m = (ram_bytes - 16 * kMiB) / 65536;
  body[0x30] = static_cast<char>(above_1m);
  body[0x31] = static_cast<char>(above_1m >> 8);
  body[0x34] = static_cast<char>(above_16m);
  body[0x35] = static_cast<char>(above_16m >> 8);
  return body;
}

Bytes vm_state(const Bytes& stream, std::size_t ram_bytes) {
  Bytes ram;
  put_be(ram, ram_bytes + kVideoBytes + kBiosBytes, 4);
  for (std::size_t at = 0; at < stream.size(); at += kPieceBytes) {
    const std::size_t count = std::min(kPieceBytes, stream.size() - at);
    put_be(ram, 0xfabe, 2);
    put_be(ram, count, 2);
    ram.insert(ram.end(), stream.begin() + static_cast<std::ptrdiff_t>(at),
               stream.begin() + static_cast<std::ptrdiff_t>(at + count));
  }
  Bytes records;
  put_record(records, "timer", 0, 2, Bytes(24));
  put_record(records, "ram", 0, 2, ram);
  put_record(records, "cpu_common", 0, 3, Bytes(8));
  put_record(records, "cpu", 0, 5, Bytes(1200));
  put_record(records, "mc146818rtc", 0x70, 1, clock_section(ram_bytes));
  put_record(records, "ide", 0, 1, Bytes(900));
  Bytes state;
  put_text(state, "QEVM");
  put_be(state, 2, 4);
  put_be(state, records.size(), 8);
  put(state, records);
  return state;
}

/// Clusters in the order in which the emulator allocated them: each L2 table before the first cluster it names.
Bytes image(const Bytes& state) {
  constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
  const std::size_t clusters = (state.size() + kClusterBytes - 1) / kClusterBytes;
  Bytes file(kClusterBytes);
  Bytes l1(kDiskBytes / (kClusterBytes * kClustersPerTable) * 8);
  for (std::size_t begin = 0; begin < clusters; begin += kClustersPerTable) {
    const std::size_t count = std::min(kClustersPerTable, clusters - begin);
    put_be(l1, file.size() | kCopied, 8);
    Bytes l2;
    for (std::size_t index = 0; index < count; ++index) put_be(l2, (file.size() + (1 + index) * kClusterBytes) | kCopied, 8);
    l2.resize(kClusterBytes);
    put(file, l2);
    const std::size_t end = std::min(state.size(), (begin + count) * kClusterBytes);
    file.insert(file.end(), state.begin() + static_cast<std::ptrdiff_t>(begin * kClusterBytes),
                state.begin() + static_cast<std::ptrdiff_t>(end));
    file.resize((file.size() + kClusterBytes - 1) / kClusterBytes * kClusterBytes);
  }
  const std::size_t l1_offset = file.size();
  put(file, l1);
  file.resize((file.size() + kClusterBytes - 1) / kClusterBytes * kClusterBytes);
  const std::size_t table_offset = file.size();
  put_be(file, l1_offset, 8);
  put_be(file, l1.size() / 8, 4);
  put_be(file, 1, 2);
  put_be(file, 5, 2);
  put_be(file, 1223251200, 4);  // 2008-10-06
  put_be(file, 0, 12);
  put_be(file, state.size(), 4);
  put_be(file, 0, 4);
  put_text(file, "1saved");

  Bytes header;
  put_text(header, "QFI\xfb");
  put_be(header, 2, 4);
  put_be(header, 0, 12);
  put_be(header, 12, 4);
  put_be(header, kDiskBytes, 8);
  put_be(header, 0, 4);
  put_be(header, l1.size() / 8, 4);
  put_be(header, l1_offset, 8);
  put_be(header, 0, 12);
  put_be(header, 1, 4);
  put_be(header, table_offset, 8);
  std::copy(header.begin(), header.end(), file.begin());
  return file;
}

int run(int argc, char** argv) {
  const bool bare = argc == 4 && std::string_view(argv[1]) == "--stream";
  if (argc != (bare ? 4 : 3)) {
    std::fprintf(stderr, "usage: make_old_image [--stream] RAM OUT\n");
    return 2;
  }
  const Bytes ram = load(argv[argc - 2]);
  const Bytes stream = zlib_stream(ram);
  const Bytes out = bare ? stream : image(vm_state(stream, ram.size()));
  std::ofstream file(argv[argc - 1], std::ios::binary);
  if (!file.write(out.data(), static_cast<std::streamsize>(out.size())).flush())
    throw std::runtime_error("cannot write the image");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_old_image: %s\n", error.what());
    return 1;
  }
}
