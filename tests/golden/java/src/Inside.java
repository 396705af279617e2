import java.lang.invoke.MethodType;
import java.lang.reflect.Field;
import java.lang.reflect.Method;

/** Reads private parts of Kafka Streams 4.3.1 that have no public door. */
final class Inside {
    private Inside() { }

    static Object field(final Object owner, final String name) {
        for (Class<?> type = owner.getClass(); type != null; type = type.getSuperclass()) {
            try {
                final Field field = type.getDeclaredField(name);
                field.setAccessible(true);
                return field.get(owner);
            } catch (final NoSuchFieldException e) {
                // It may be the superclass's.
            } catch (final IllegalAccessException e) {
                throw new IllegalStateException(e);
            }
        }
        throw new IllegalStateException("no field " + name + " in " + owner.getClass());
    }

    /** Calls the method of `type` with this name that takes these arguments; what it throws comes out as it was thrown. */
    static Object call(final Class<?> type, final Object owner, final String name, final Object... arguments) {
        for (final Method method : type.getDeclaredMethods()) {
            if (method.getName().equals(name) && !method.isBridge() && takes(method.getParameterTypes(), arguments)) {
                method.setAccessible(true);
                try {
                    return method.invoke(owner, arguments);
                } catch (final java.lang.reflect.InvocationTargetException e) {
                    throw Inside.<RuntimeException>asIs(e.getCause());
                } catch (final IllegalAccessException e) {
                    throw new IllegalStateException(e);
                }
            }
        }
        throw new IllegalStateException("no method " + name + " in " + type);
    }

    private static boolean takes(final Class<?>[] types, final Object[] arguments) {
        if (types.length != arguments.length) {
            return false;
        }
        for (int i = 0; i < types.length; i++) {
            if (arguments[i] != null && !MethodType.methodType(types[i]).wrap().returnType().isInstance(arguments[i])) {
                return false;
            }
        }
        return true;
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> T asIs(final Throwable thrown) throws T {
        throw (T) thrown;
    }
}
