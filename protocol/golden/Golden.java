import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.utils.Utils;

/**
 * Reads lines "key q|p version hex", has kafka-clients read each message and write it again, and prints the lines with
 * the bytes that it wrote. Ends with murmur2 of every message.
 */
public class Golden {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split(" ", -1);
            ApiMessageType type = ApiMessageType.fromApiKey(Short.parseShort(parts[0]));
            short version = Short.parseShort(parts[2]);
            byte[] bytes = HexFormat.of().parseHex(parts[3]);
            ApiMessage message = parts[1].equals("q") ? type.newRequest() : type.newResponse();
            ByteBufferAccessor readable = new ByteBufferAccessor(ByteBuffer.wrap(bytes));
            message.read(readable, version);
            if (readable.remaining() != 0) {
                throw new IllegalStateException("bytes left of " + line);
            }
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer out = ByteBuffer.allocate(message.size(cache, version));
            message.write(new ByteBufferAccessor(out), cache, version);
            System.out.println(parts[0] + " " + parts[1] + " " + version + " " + HexFormat.of().formatHex(out.array())
                + " " + Utils.murmur2(out.array()));
        }
    }
}
